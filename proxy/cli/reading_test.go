package cli

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A vault that did not answer was asked by one caller after the other, ten seconds each:
// the sixth waited for a minute. A keyring that was locked had a question more, and a
// window on the desktop, for every call of the night.
func TestAllWhoWaitForASecretShareOneReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecrets()
		answered, sealed := make(chan struct{}), errors.New("the vault is sealed")
		var readings atomic.Int64
		var waiting sync.WaitGroup
		for range 6 {
			waiting.Go(func() {
				r := s.once("exec:vault", func() (string, error) {
					readings.Add(1)
					<-answered
					return "", sealed
				})
				if <-r.done; !errors.Is(r.err, sealed) {
					t.Errorf("got %v", r.err)
				}
			})
		}
		synctest.Wait()
		close(answered)
		waiting.Wait()
		if n := readings.Load(); n != 1 {
			t.Errorf("%d readings, want 1", n)
		}
		r := s.once("exec:vault", func() (string, error) { return "open", nil })
		if <-r.done; r.value != "open" || r.err != nil {
			t.Errorf("afterwards: %q, %v", r.value, r.err)
		}
		if r = s.once("exec:vault", nil); r.value != "open" {
			t.Errorf("it was not kept: %q", r.value)
		}
	})
}

// The library takes the end of the session's bus, while a window waits for a password,
// for an answer, and panics: Outrider ended with the desktop's session.
func TestSessionThatEndsInAQuestionIsAnError(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere") // there is a session, as far as is looked
	if err := askKeyring(func() error { panic("as the library does") }); err == nil {
		t.Error("no error")
	}
}
