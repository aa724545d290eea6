# Invented, after the outline that is known: the five jobs of 2014 as the JobOrganizer's configuration had them.
import os

joblimit = 15
ncpu = 44

class JobOrganizerConfig:
    jobs = {
        'LArL1CaloRampMaker': {
            'template': 'jcTpl_LArL1CaloRampMaker.py',
            'listeners': ['LArEnergyScan', 'LArEnergyScanHV'],
            'needsvalidation': False,
        },
        'TileL1CaloRampMaker': {
            'template': 'jcTpl_TileL1CaloRampMaker.py', 'listeners': ['TileEnergyScan'], 'needsvalidation': False,
        },
        'jcTpl_LArL1CaloHV.py'.replace('jcTpl_', '').replace('.py', ''): {
            'template': 'jcTpl_LArL1CaloHV.py', 'listeners': ['LArEnergyScanHV'], 'needsvalidation': False,
        },
        'Phos4ShapeMaker': {
            'template': 'jcTpl_Phos4ShapeMaker.py', 'listeners': ['L1CaloPhos4Scan'], 'needsvalidation': 'False',
        },
        'L1CaloCalibD3PD': {
            'template': 'jcTpl_L1CaloCalibD3PD.py', 'needsvalidation': True,
            'listeners': ['LArCalibL1Calo', 'TileCalibL1Calo', 'LArEnergyScan', 'TileEnergyScan', 'L1CaloPhos4Scan',
                          'L1CaloStandalone'],
        },
    }
