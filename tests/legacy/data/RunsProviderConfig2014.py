# Invented, after the outline that is known: the seven listeners of 2014 as the RunsProvider's configuration had them.
import os
import sys

sys.path.append(os.environ['DAEMON_HOME'] + '/python')
from DaemonTools import Logger

initialrun = 210000
base = os.environ['DAEMON_DATA'] + '/L1Calo'
physics = 'L1CaloCombined'
larpartitions = [physics, 'LArgL1CaloCombined']
tilepartitions = [physics, 'TileL1CaloCombined']
scanfiles = ['/castor/cern.ch/grid/atlas/DAQ/l1calo/#RUN_NUMBER_PADDED#',
             base + '/#RUN_NUMBER_PADDED_8#/', ]

RunsProviderConfig = {}
RunsProviderConfig['database'] = 'COMP200'
RunsProviderConfig['sleep'] = 600

LArEnergyScan = {
    'name': 'LArEnergyScan',
    'runtype': 'LarCalibL1Calo',
    'tag': '',
    'detmask': 0,
    'daqpartition': larpartitions,
    'tierzerotag': ['L1CaloEnergyScan'],
    'NOTtierzerotag': [],
    'gainstrategy': ['GainOneOvEmecFcalLowEta', 'GainOneOvEmbFcalHighEta'],
    'detstatus': '',
    'detstatustag': '',
    'reconly': True,
    'stoptimestamp': True,
    'cleanstop': True,
    'hasevents': False,
    'initialrun': initialrun,
    'minevents': 1700,
    'fileslocations': scanfiles,
}

LArEnergyScanHV = dict(LArEnergyScan, name='LArEnergyScanHV', gainstrategy=['CalibGainsEt'])

TileEnergyScan = {
    'name': 'TileEnergyScan', 'runtype': 'cismono', 'daqpartition': tilepartitions,
    'tierzerotag': ['L1CaloEnergyScan'], 'detstatus': '2', 'reconly': True, 'stoptimestamp': True,
    'cleanstop': True, 'hasevents': True, 'initialrun': initialrun, 'minevents': 1700, 'fileslocations': scanfiles,
}

L1CaloPhos4Scan = {
    'name': 'L1CaloPhos4Scan', 'runtype': '', 'daqpartition': larpartitions + ['TileL1CaloCombined'],
    'tierzerotag': ['L1CaloPprPhos4ScanPars'], 'detstatus': '2', 'reconly': True, 'stoptimestamp': True,
    'cleanstop': True, 'hasevents': True, 'initialrun': initialrun, 'minevents': 0,
    'fileslocations': ['%s/phos4/#RUN_NUMBER#' % base],
}

LArCalibL1Calo = {
    'name': 'LArCalibL1Calo', 'runtype': 'LarCalibL1Calo', 'daqpartition': larpartitions,
    'NOTtierzerotag': ['L1CaloEnergyScan', 'L1CaloPprPhos4ScanPars'], 'reconly': True, 'stoptimestamp': True,
    'cleanstop': True, 'hasevents': False, 'initialrun': initialrun, 'minevents': 0,
}

TileCalibL1Calo = {
    'name': 'TileCalibL1Calo', 'runtype': 'cismono', 'daqpartition': tilepartitions, 'detstatus': '2',
    'NOTtierzerotag': ['L1CaloEnergyScan', 'L1CaloPprPhos4ScanPars'], 'reconly': True, 'stoptimestamp': True,
    'cleanstop': True, 'hasevents': True, 'initialrun': initialrun, 'minevents': 0,
}

L1CaloStandalone = {
    'name': 'L1CaloStandalone', 'runtype': 'Physics', 'daqpartition': ['L1CaloStandalone', 'L1CaloCalibration'],
    'detmask': 0x7c00000000L, 'tag': 'data14_calib', 'detstatus': '2', 'reconly': True, 'stoptimestamp': True,
    'cleanstop': True, 'hasevents': True, 'initialrun': initialrun, 'minevents': 0,
}

RunsProviderConfig['listeners'] = [LArEnergyScan, LArEnergyScanHV, TileEnergyScan]
RunsProviderConfig['listeners'].append(L1CaloPhos4Scan)
RunsProviderConfig['listeners'] += [LArCalibL1Calo, TileCalibL1Calo, L1CaloStandalone]

print "configuration of the RunsProvider read"
