#RAW_DATA_SETS#
## job options of TileL1CaloRampMaker for run #RUN_NUMBER# ##
