#################################################
## Job configuration, a template: #RUN_NUMBER# ##
#################################################
import os

RunNumber = #RUN_NUMBER#
JobName = "#JOB_CONFIGURATION#"
RawDataFileBasePaths = ['/castor/cern.ch/grid/atlas/DAQ/#RUN_NUMBER_PADDED#/',
                        os.environ['DAEMON_DATA'] + "/L1Calo/#RUN_NUMBER_PADDED_8#"]
AtlasRelease = '17.2.7.5.9'
Queue = 'atlasb1'
Group = 'u_ATLASLARCAL'
Launcher = 'launcherTpl.sh'
JobOptions = 'joTpl_LArL1CaloRampMaker.py'
LogName = 'rampMaker_#RUN_NUMBER#.log'
OutputFiles = [
    ('Gains.ps', 'Gains_#RUN_NUMBER#.ps', '#JOB_ROOT_DIR#'),
    ('L1CaloRampData.pool.root', '', '#JOB_POOL_DIR#'),
    ('bad_gains.txt', 'bad_gains.txt', '/afs/cern.ch/atlas/www/l1calo'),
]
PostTreatments = ['#DAEMON_SCRIPTS_DIR#/doPlots.sh #RUN_NUMBER#']   ## plots ##
MailAddresses = ['l1calo-calib@example.org', 'lar@example.org']
#RAW_DATA_SETS#
