import sys, httpx
httpx.get(sys.argv[1], timeout=8).raise_for_status()
