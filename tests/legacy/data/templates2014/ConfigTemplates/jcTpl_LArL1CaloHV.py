class JobConfiguration(object):
    queue = 'atlasb1'
    release = '17.2.7.5.9'
    launcher = 'launcherTpl.sh'
    jobOptions = 'joTpl_' + 'LArL1CaloHV.py'
    outputFiles = [{'name': 'HV.root', 'newname': 'HV_#RUN_NUMBER_PADDED#.root', 'destination': '#JOB_ROOT_DIR#/hv'}]
    nEvents = [len(x) for x in 'abc']
