package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"outrider/policy"
	"outrider/proxy"
	"outrider/proxy/letters"
	"outrider/proxy/outbox"
)

// outboxPath is where the API of the outbox is.
const outboxPath = "/api/outbox"

// withOutbox finds who answers about letters: the Outrider that runs, or else the same handler
// on the store, here, which sends nothing. fresh says that a store may be made.
func (c *commands) withOutbox(ctx context.Context, fresh bool, do func(outboxWay) error) error {
	way, err := c.adminWay()
	if err != nil {
		return err
	}
	runs, err := c.neighbour(ctx)
	if err != nil {
		return err
	}
	if runs != nil || c.admin != "" {
		return do(outboxWay{adminWay: way, sends: true})
	}
	return c.atStore(func(set *policy.Set, s *storage) error {
		if _, err := s.reach(ctx, !fresh); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no letter was kept yet: there is no store (%w), and no Outrider answers at %s", err, way.address)
		} else if err != nil {
			return err
		}
		c.note("no Outrider answers at %s: the store itself is asked, and nothing is sent until one runs", way.address)
		return do(outboxWay{adminWay: adminWay{address: "store", transport: inProcess{handlerAtStore(set, s)}}})
	})
}

// handlerAtStore looks after the letters of a store, without a sender.
func handlerAtStore(set *policy.Set, s *storage) http.Handler {
	kept := outbox.New(outbox.Settings{
		Store:   s.letters,
		Address: func(l *outbox.Line) (*outbox.Letter, error) { return proxy.Address(set, l) },
		Observe: func(outbox.Event) {},
		Jitter:  jitter,
	}, proxy.Limits(set.File.Outbox))
	return letters.Handler{
		Outbox: func() letters.Outbox { return kept },
		Amend:  func(l, sent *outbox.Letter) error { return proxy.Amend(set, l, sent) },
	}
}

// An outboxWay leads to the API of an outbox.
type outboxWay struct {
	adminWay
	sends bool // somebody is there who sends letters
}

// outboxTimeout bounds a question about letters: it is answered by a database, maybe over a
// network.
const outboxTimeout = 30 * time.Second

// ask asks the API, and reads its answer as JSON.
func (way outboxWay) ask(ctx context.Context, q question, answer any) error {
	if q.method == "" || q.method == http.MethodGet {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, outboxTimeout)
		defer cancel()
	}
	q.path = outboxPath + q.path
	data, err := way.send(ctx, q)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}
