# LArL1CaloHV: corrections for LAr towers with reduced high voltage, from a scan with calibration gains.
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

# The voltages are those at the time of run #RUN_NUMBER#, from the detector control system's folders.
from TrigT1CaloCalibTools.TrigT1CaloCalibToolsConf import L1CaloHVCorrectionsForDB

corrections = L1CaloHVCorrectionsForDB("LArL1CaloHV")
topSequence += corrections

from RegistrationServices.OutputConditionsAlg import OutputConditionsAlg

OutputConditionsAlg("HVCorrections", "#JOB_ROOT_DIR#/L1CaloHVCorrections.pool.root").ObjectList = [
    "CondAttrListCollection#/TRIGGER/L1Calo/V1/Results/HVCorrections"
]
