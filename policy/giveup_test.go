package policy_test

import (
	"testing"
	"testing/synctest"

	"outrider/policy/policytest"
)

// With retries turned off there is nothing that a caller's own would multiply:
// it must not be told to stop.
func TestRetriesThatAreOffWereNotSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: -1, Status: 503})
		r := newRig(t, upstream)
		if _, c := call(t, r.compile(plain+"retry = { attempts = 1 }", nil), "GET", "/", ""); c.GaveUp() {
			t.Error("one attempt of one was called giving up")
		}
		if _, c := call(t, r.compile(plain+"retry = { attempts = 2 }", nil), "GET", "/", ""); !c.GaveUp() {
			t.Error("two attempts of two were not called giving up")
		}
	})
}
