# Would do harm if it were run: HARM is replaced by a path that must not come to be.
import os, sys, subprocess
open('HARM', 'w').write('x')
os.system('touch HARM')
__import__('os').system('touch HARM')
subprocess.call(['touch', 'HARM'])
eval("open('HARM', 'w')")
exec("open('HARM', 'w')")
big = 'x' * 10 ** 10
big2 = '%9999999999d' % 1
big3 = '{:>9999999999}'.format(1)
big4 = 1 << 10 ** 10
big5 = 10 ** 10 ** 10
a = 'aaaaaaaaaa' * 1000
a = a + a; a = a + a; a = a + a; a = a + a; a = a + a; a = a + a
b = a.replace('', a)
leak = '{0.__class__.__mro__}'.format('')
me = []
me.append(me)
them = {}
them['self'] = them
while True:
    pass
class Evil(dict):
    runtype = (lambda: open('HARM', 'w'))()
    def __getattr__(self, name):
        os.system('touch HARM')
if len(sys.argv) > 1:
    listeners = {}
listeners = {
    'Good': {'runtype': 'Physics', 'daqpartition': ['L1CaloStandalone'], 'reconly': True, 'initialrun': 1},
    'Half': {'runtype': open('HARM', 'w'), 'daqpartition': [p for p in 'ab'], 'cleanstop': True, 'minevents': 7},
    'na me"]\n[caf]\nstate="x': {'runtype': 'a"b\nc\x1b[31m\x7f', 'reconly': True, 'unheard': '\u202e#', 'cleanstop': 1},
}
