"""Invented, after what is known of 2016: the Django settings of the successor."""
import os

BASE_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECRET_KEY = 'not one'
INSTALLED_APPS = ('django.contrib.admin', 'runs')
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': os.path.join(BASE_DIR, 'db.sqlite3')}}
RUCIO = '/eos/atlas/atlastier0/rucio/data16_calib/calibration_L1CaloEnergyScan'

SCANS = {
    'LArEnergyScan': {
        'filters': {
            'runtype': 'LarCalibL1Calo',
            'partition__in': ['L1CaloCombined', 'LArgL1CaloCombined'],
            'tierzerotag': 'L1CaloEnergyScan',
            'gainstrategy': 'GainOneOvEmbFcalHighEta',
            'events__gt': 1700,
            'run__gt': 290000,
            'lumiblocks__range': (1, 5),
        },
        'path': RUCIO + '/#RUN_NUMBER_PADDED_8#',
    },
    'L1CaloStandalone': {
        'filters': {'runtype': 'Physics', 'partition': 'L1CaloStandalone', 'events__gt': 0, 'events__lte': 5000},
        'exclude': {'tierzerotag__in': ['L1CaloEnergyScan']},
    },
}

ANALYSIS = {
    'LArRamps': {
        'scans': ['LArEnergyScan'],
        'release': '20.7.6.7',
        'queue': 'atlasb1',
        'script': 'ramps.sh',
        'outputs': ['Gains.pdf', 'rampPlots.pdf', 'bad_gains.txt'],
    },
    'Pedestals': {'scans': ['L1CaloStandalone'], 'script': 'pedestals.sh', 'validation': True},
}
