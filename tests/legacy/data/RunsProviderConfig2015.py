# Invented, after what is known of 2015: two listeners that overlap others, which nothing had noticed.
common = {'reconly': True, 'stoptimestamp': True, 'cleanstop': True, 'initialrun': 250000}
lar = dict(common, runtype='LarCalibL1Calo', daqpartition=['L1CaloCombined', 'LArgL1CaloCombined'])
tile = dict(common, runtype='cismono', daqpartition=['L1CaloCombined', 'TileL1CaloCombined'], detstatus='2',
            hasevents=True)

listeners = {
    'LArEnergyScan': dict(lar, tierzerotag=['L1CaloEnergyScan'], minevents=1700,
                          gainstrategy=['GainOneOvEmecFcalLowEta', 'GainOneOvEmbFcalHighEta']),
    'LArEnergyScanHV': dict(lar, gainstrategy=['CalibGainsEt'], minevents=1700),
    'TileEnergyScan': dict(tile, tierzerotag=['L1CaloEnergyScan'], minevents=1700),
    'LArCalibL1Calo': dict(lar, NOTtierzerotag=['L1CaloEnergyScan', 'L1CaloPprPhos4ScanPars']),
    'TileCalibL1Calo': dict(tile),
}
