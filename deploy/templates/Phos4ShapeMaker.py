# Phos4ShapeMaker: the pulse shape of each trigger tower, from a Phos4 timing scan.
# Run #RUN_NUMBER#, release #ATLAS_RELEASE#. Rendered by caf: what stands between two hashes was replaced.

from AthenaCommon.AthenaCommonFlags import athenaCommonFlags
from AthenaCommon.GlobalFlags import globalflags

#RAW_DATA_SETS#
athenaCommonFlags.EvtMax = -1
globalflags.DataSource = "data"
globalflags.InputFormat = "bytestream"
globalflags.DatabaseInstance = "CONDBR2"

from AthenaCommon.AlgSequence import AlgSequence

topSequence = AlgSequence()

include("TrigT1CaloByteStream/ReadLVL1CaloBS_jobOptions.py")

from TrigT1CaloCalibTools.TrigT1CaloCalibToolsConf import L1CaloPhos4ShapeMaker

shapeMaker = L1CaloPhos4ShapeMaker("Phos4ShapeMaker")
shapeMaker.RunNumber = int("#RUN_NUMBER#")
shapeMaker.StepsPerBunchCrossing = 25  # one nanosecond each
topSequence += shapeMaker

from AthenaCommon.AppMgr import ServiceMgr
from GaudiSvc.GaudiSvcConf import THistSvc

ServiceMgr += THistSvc()
ServiceMgr.THistSvc.Output = ["Phos4 DATAFILE='#JOB_ROOT_DIR#/Phos4Shapes.root' OPT='RECREATE'"]
