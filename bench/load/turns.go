package load

import (
	"fmt"
	"os"
)

// turns is a script for wrk, which makes its requests before the first is sent.
const turns = `local requests, last = {}, 0

init = function()
  for i = 1, %[1]d do
    requests[i] = wrk.format("GET", string.format(%[2]q, i), { [%[3]q] = string.format(%[4]q, i) })
  end
end

request = function()
  last = last %% %[1]d + 1
  return requests[last]
end
`

// WriteTurns writes a script for Closed: so many different requests, one after the other.
// In target and value, %d is the number of the request, from 1 on.
func WriteTurns(file string, count int, target, header, value string) error {
	return os.WriteFile(file, fmt.Appendf(nil, turns, count, target, header, value), 0o600)
}

// posts is a script for wrk whose requests are to be kept.
const posts = `wrk.method = "POST"
wrk.body = '{"id":17}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = "respond-async"
`

// WritePosts writes a script for Closed: POST of some JSON, as a letter.
func WritePosts(file string) error { return os.WriteFile(file, []byte(posts), 0o600) }
