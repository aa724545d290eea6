# L1CaloCalibD3PD: an ntuple of trigger towers and calorimeter cells, for experts.
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
rec.doTile = True
rec.doWriteESD = False
rec.doWriteAOD = False
include("RecExCommon/RecExCommon_topOptions.py")

from D3PDMakerCoreComps.MakerAlg import MakerAlg
from TrigT1CaloCalibTools.L1CaloD3PDMaker import L1CaloD3PD

from AthenaCommon.AlgSequence import AlgSequence

topSequence = AlgSequence()

ntuple = MakerAlg("caloD3PD", topSequence, file="#JOB_ROOT_DIR#/L1CaloCalibD3PD.root")
ntuple += L1CaloD3PD(0)
