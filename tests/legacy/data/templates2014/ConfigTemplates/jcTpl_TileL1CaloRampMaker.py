config = dict(queue='atlasb1', group='u_ATLASLARCAL', atlasrelease='17.2.7.5.9', launcher='launcherTpl.sh')
config['joboptions'] = 'joTpl_TileL1CaloRampMaker.py'
config['outputfiles'] = {'Gains.ps': 'Gains_#RUN_NUMBER#.ps'}
config['mail'] = 'l1calo-calib@example.org; tile@example.org'
