package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/config"
	"outrider/policy/policytest"
	"outrider/proxy/outbox"
	"outrider/proxy/outbox/outboxtest"
	"outrider/proxy/store"
)

// A silent store takes letters, and does not answer when it is told what came of one.
type silentStore struct {
	*outboxtest.Store
	answer chan struct{} // closed when it does
}

func (s silentStore) Hold(ctx context.Context) (outbox.Holder, error) {
	holder, err := s.Store.Hold(ctx)
	return silentHolder{holder, s.answer}, err
}

type silentHolder struct {
	outbox.Holder
	answer chan struct{}
}

func (h silentHolder) End(ctx context.Context, id string, e store.End) error {
	<-h.answer
	return h.Holder.End(ctx, id, e)
}

// The database hung while we were asked to end, and a letter had its answer. The stop took
// 40 s, where whoever stops us kills after 30.
func TestStopDoesNotWaitForASilentStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, err := config.Parse("", []byte(fmt.Sprintf("state_dir = %q\n", t.TempDir())+keeping("provider.test", "always")))
		if err != nil {
			t.Fatal(err)
		}
		kept := silentStore{&outboxtest.Store{}, make(chan struct{})}
		log := &logBuffer{}
		o := outbox.New(outbox.Settings{
			Store: func(context.Context) (outbox.Store, error) { return kept, nil },
			Send: func(ctx context.Context, s *outbox.Sending) outbox.Outcome {
				if err := s.Depart(ctx); err != nil {
					t.Error(err)
				}
				return outbox.Outcome{Verdict: outbox.Delivered, Wire: 1, Response: &http.Response{StatusCode: 200, Body: http.NoBody}}
			},
			Jitter: policytest.Jitter(0.5),
		}, outbox.Limits{Concurrency: 1, Attempts: 100, MaxAge: time.Hour})
		s := startSender(o, newStorage(file, newSecrets(), logTo(log)), logTo(log))
		s.follow(file)
		if _, err := o.Keep(t.Context(), &outbox.Letter{Upstream: "api", Method: "POST", Target: "/x"}, strings.NewReader("x"), outbox.KeepOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()

		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), grace)
		defer cancel()
		s.close(ctx)
		if took := time.Since(began); took != grace {
			t.Errorf("the stop took %s", took)
		}
		if !strings.Contains(log.String(), "the store does not answer") {
			t.Errorf("the log says %s", log)
		}
		close(kept.answer)
		<-s.ended
	})
}
