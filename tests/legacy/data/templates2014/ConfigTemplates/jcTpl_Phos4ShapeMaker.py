Queue = 'atlasb1'
Launcher = 'launcherTpl.sh'
JobOptions = 'joTpl_missing.py'
OutputFiles = ['Phos4Shapes.root']
