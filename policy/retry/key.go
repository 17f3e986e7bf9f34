package retry

import "net/http"

// keyed reports that the request carries one idempotency key. Two different
// ones would leave it to the server which of them counts.
func (s *Stage) keyed(req *http.Request) bool {
	if s.header == "" {
		return false
	}
	keys := req.Header[s.header]
	return len(keys) == 1 && keys[0] != ""
}

// Mints reports the methods whose requests may get a key. Only POST and PATCH do: of a
// method that we do not know we do not know either that the upstream looks at the key.
func Mints(method string) bool { return method == http.MethodPost || method == http.MethodPatch }

// mint returns the request with a new key, and the key, if it should have one
// and has none. A key that the caller chose is never replaced. MintKey is set.
func (s *Stage) mint(req *http.Request) (*http.Request, string) {
	if !Mints(req.Method) || ControlsFrom(req.Context()).NoKey {
		return req, ""
	}
	for _, v := range req.Header[s.header] {
		if v != "" {
			return req, ""
		}
	}
	key := s.set.NewKey()
	r2 := clone(req)
	r2.Header[s.header] = []string{key}
	if s.set.OnMint != nil {
		s.set.OnMint(req.Context(), key)
	}
	return r2, key
}

// echo tells the caller the key that its call went out with, so that its own
// retry can carry the same. An upstream that echoes keys itself has done so. To
// whom there is no response, it is for the listener of OnMint to tell.
func (s *Stage) echo(resp *http.Response, key string) {
	if key == "" || len(resp.Header[s.header]) > 0 {
		return
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	resp.Header[s.header] = []string{key}
}

// clone copies a request so that its header can be written to. Its Trailer
// stays the same map: the values arrive with the end of the body.
func clone(req *http.Request) *http.Request {
	r2 := new(http.Request)
	*r2 = *req
	if r2.Header = req.Header.Clone(); r2.Header == nil {
		r2.Header = http.Header{}
	}
	return r2
}
