#RAW_DATA_SETS#
## job options of LArL1CaloHV for run #RUN_NUMBER# ##
