# usage: requests.py URL CALLS ROOTS: requests without a Session, each call's time in seconds
import sys, time
import requests

url, calls, roots = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for _ in range(calls):
    start = time.perf_counter()
    requests.get(url, verify=roots, proxies={"http": None, "https": None}).raise_for_status()
    print(time.perf_counter() - start)
