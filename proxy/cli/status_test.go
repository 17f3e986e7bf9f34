package cli

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// Why a collector did not take something is in its words, which went to the terminal of
// whoever asked for the status as they were.
func TestStatusLeavesTheTerminalAlone(t *testing.T) {
	var out strings.Builder
	printStatus(&out, statusView{Lost: []telemetry.Loss{{Signal: "traces", Why: "400: \x1b]0;taken\a"}}})
	if text := out.String(); strings.ContainsAny(text, "\x1b\a") || !strings.Contains(text, "400: ?]0;taken?") {
		t.Errorf("%q", text)
	}
}

func TestStatusSaysThatLettersAreRefused(t *testing.T) {
	var out strings.Builder
	printStatus(&out, statusView{Outbox: &outbox.Standing{Size: 651 << 10, MaxSize: 1 << 30, Refusing: "the disk is full"}})
	if text := out.String(); !strings.Contains(text, "WARNING: letters are refused: the disk is full\nletters are kept: 651KiB of 1GiB used\n") {
		t.Errorf("%q", text)
	}
}

// While 401s are passed on, the line of a credential says so.
func TestCredentialSaysHowLong401sArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		until := now.Add(20 * time.Second)
		c := policy.CredentialStatus{State: "live", Usable: true, Obtained: &now, Spaced: &until}
		const want = "live, fetched 0s ago; a 401 is passed on for 20s, since 401s have had the token replaced just now"
		if got := credentialState(c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		time.Sleep(20 * time.Second)
		if got := credentialState(c); got != "live, fetched 20s ago" {
			t.Errorf("afterwards: %q", got)
		}
	})
}
