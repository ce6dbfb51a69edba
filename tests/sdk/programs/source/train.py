import json
import os
import sys

import helper

print("SM variables:", json.dumps(sorted(name for name in os.environ if name.startswith("SM_"))))
print("arguments:", json.dumps(sys.argv[1:]))
print(helper.message())
sys.exit(3)
