// Package policytest is a harness for tests of policies inside a
// testing/synctest bubble, where time is exact and real sockets are not allowed.
//
//   - An [Upstream] is a RoundTripper that follows a script and remembers what
//     it received. It fails as a transport fails: it reads and closes request
//     bodies, honours contexts by their cause, and its bodies can break off.
//   - A [Net] is a network in memory, for an http.Server and an http.Transport
//     in one bubble.
//   - [NewRequest] makes a request in the form that our chain works on, [Do]
//     sends it and reads the whole answer, and [Jitter] is chance with a fixed
//     result.
//
// There is no clock in here: inside a bubble package time is the clock. What is
// made inside a bubble belongs to it.
//
//	synctest.Test(t, func(t *testing.T) {
//		up := policytest.NewUpstream(t,
//			policytest.Step{Status: 503, Header: http.Header{"Retry-After": {"2"}}},
//			policytest.Step{Body: "ok"})
//		answer := policytest.Do(retry(up), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
//		...
//	})
package policytest
