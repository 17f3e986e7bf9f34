import sys, requests
requests.get(sys.argv[1], timeout=8).raise_for_status()
