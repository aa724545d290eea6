#RAW_DATA_SETS#
## job options of LArL1CaloRampMaker for run #RUN_NUMBER# ##
