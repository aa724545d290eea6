# LArL1CaloRampMaker: the gains of the LAr trigger towers, from an energy scan.
# Run #RUN_NUMBER#, release #ATLAS_RELEASE#. Rendered by caf: what stands between two hashes was replaced.

from AthenaCommon.AthenaCommonFlags import athenaCommonFlags
from AthenaCommon.GlobalFlags import globalflags

#RAW_DATA_SETS#
athenaCommonFlags.EvtMax = -1
globalflags.DataSource = "data"
globalflags.InputFormat = "bytestream"
globalflags.DatabaseInstance = "CONDBR2"

from RecExConfig.RecFlags import rec

rec.readRDO = True
rec.doLArg = True
rec.doTile = False
rec.doWriteESD = False
rec.doWriteAOD = False
include("RecExCommon/RecExCommon_topOptions.py")

from AthenaCommon.AlgSequence import AlgSequence

topSequence = AlgSequence()

################################################################
## The ramp: calorimeter energy against L1Calo energy, a tower ##
################################################################
from TrigT1CaloCalibTools.TrigT1CaloCalibToolsConf import L1CaloRampMaker

rampMaker = L1CaloRampMaker("LArL1CaloRampMaker")
rampMaker.DoLAr = True
rampMaker.DoTile = False
rampMaker.EventsPerStep = 200
rampMaker.NumberOfSteps = 9
topSequence += rampMaker

from RegistrationServices.OutputConditionsAlg import OutputConditionsAlg

OutputConditionsAlg("RampData", "#JOB_ROOT_DIR#/L1CaloRampData.pool.root").ObjectList = ["L1CaloRampDataContainer"]
