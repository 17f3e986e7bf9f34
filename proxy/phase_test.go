package proxy

import (
	"context"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/egress"
)

// Of a call whose time is over the answer says what it was over with.
func TestTimeoutSaysHowFarTheCallCame(t *testing.T) {
	passed := &policy.TimeoutError{Clock: "attempt_timeout", Limit: 2 * time.Second}
	for _, c := range []struct {
		err    error
		detail string
	}{
		{passed, "attempt_timeout of 2s passed"},
		{&egress.Error{Kind: egress.Canceled, Err: passed}, "attempt_timeout of 2s passed"},
		{&egress.Error{Kind: egress.Canceled, While: "while the name was looked up", Err: passed}, "attempt_timeout of 2s passed while the name was looked up"},
		{&egress.Error{Kind: egress.Canceled, Sent: true, Err: passed}, "attempt_timeout of 2s passed while the answer was waited for"},
	} {
		if p := problemOf(context.Background(), c.err); p.slug != "upstream-timeout" || p.detail != c.detail {
			t.Errorf("%s: %s, want %s", p.slug, p.detail, c.detail)
		}
	}
}
