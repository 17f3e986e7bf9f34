package proxy

import "testing"

// One host was listed as many, as its clients spelled it: with the port of the
// scheme and without, with the dot that ends an absolute name, and an IPv6 address
// without the brackets that a URL needs.
func TestObservedHostIsListedOnce(t *testing.T) {
	var o observed
	for _, authority := range []string{"API.example.test:443", "api.example.test.:443"} {
		o.connected(authority)
	}
	o.note("api.example.test", "https")
	o.connected("[0:0:0:0:0:0:0:1]:80")
	o.note("[::1]:80", "http")
	o.note("[::1]", "http")
	o.connected("[::1]:8443")
	list, _ := o.list()
	got := map[string]int{}
	for _, seen := range list {
		got[seen.Scheme+"://"+seen.Host] = seen.Calls
	}
	if len(got) != 3 || got["https://api.example.test"] != 3 || got["http://[::1]"] != 3 || got["https://[::1]:8443"] != 1 {
		t.Errorf("got %v", got)
	}
}
