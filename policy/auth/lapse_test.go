package auth_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// Who knows when the refresh token lapses can log in again before. It is kept: the process
// that is told of it may not be the one that asked.
func TestRefreshTokenSaysWhenItLapses(t *testing.T) {
	answer := func(body string) policytest.Step {
		return policytest.Step{Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
	}
	synctest.Test(t, func(t *testing.T) { // of a login
		s := logins(policytest.NewUpstream(t, answer(`{"access_token":"access-0001","refresh_token":"refresh-0001","refresh_token_expires_in":864000}`)), newShelf())
		p, err := newOAuth2(t, s).Redeem(t.Context(), code)
		if want := time.Now().Round(0).Add(240 * time.Hour); err != nil || !p.Lapses.Equal(want) {
			t.Errorf("a login lapses at %v, %v: want %v", p.Lapses, err, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t,
			answer(`{"access_token":"access-0001","refresh_token":"refresh-0001","expires_in":60,"refresh_token_expires_in":"864000"}`),
			answer(`{"access_token":"access-0002","expires_in":60}`),                                // the same refresh token
			answer(`{"access_token":"access-0003","expires_in":60,"refresh_expires_in":86400}`),     // which now lapses sooner
			answer(`{"access_token":"access-0004","refresh_token":"refresh-0004","expires_in":60}`), // another one
		)
		kept := newShelf()
		o := newOAuth2(t, settings(endpoint, kept))
		begun := time.Now().Round(0)
		for i, want := range []time.Time{begun.Add(240 * time.Hour), begun.Add(240 * time.Hour), begun.Add(2*time.Minute + 24*time.Hour), {}} {
			wantToken(t, o, i+1)
			if got := o.Status().Lapses; !got.Equal(want) {
				t.Errorf("after request %d it lapses at %v, want %v", i+1, got, want)
			}
			if inspected, err := auth.Inspect([]byte(kept.text())); err != nil || !inspected.Lapses.Equal(want) {
				t.Errorf("after request %d it is kept that it lapses at %v, %v", i+1, inspected.Lapses, err)
			}
			time.Sleep(time.Minute)
		}
		if strings.Contains(kept.text(), "refresh_expires") {
			t.Errorf("what is not known is kept: %s", kept.text())
		}
	})
}
