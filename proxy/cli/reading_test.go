package cli

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"outrider/policy/config"
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

// A file that an editor of Windows wrote begins with a byte order mark, which was sent as
// the first three bytes of the credential. With the store's key it stays: a store that was
// sealed with it could not be opened any more.
func TestByteOrderMarkIsNoPartOfACredential(t *testing.T) {
	dir := t.TempDir()
	marked := config.Reference("file:" + layFile(t, filepath.Join(dir, "marked"), "\xef\xbb\xbfSECRET\r\n"))
	s := newSecrets()
	for range 2 { // read, and remembered
		if value, err := s.get(marked); value != "SECRET" || err != nil {
			t.Errorf("the credential is %q, %v", value, err)
		}
		if value, err := s.storeKey(marked); value != "\xef\xbb\xbfSECRET" || err != nil {
			t.Errorf("the store's key is %q, %v", value, err)
		}
	}
	empty := layFile(t, filepath.Join(dir, "empty"), "\xef\xbb\xbf\n")
	if value, err := s.get(config.Reference("file:" + empty)); err == nil || err.Error() != empty+" is empty" {
		t.Errorf("of a mark alone comes %q, %v", value, err)
	}
}
