package alert

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// gather is how long what comes together is waited for.
	gather = 3 * time.Second
	// timeout is of one message.
	timeout = 15 * time.Second
	// firstPause and maxPause are between the tries to send one, tries how many there are.
	firstPause, maxPause = time.Second, time.Minute
	tries                = 8
	// maxWaiting bounds the alerts that wait for one target.
	maxWaiting = 1000
)

// Settings say how a Notifier sends.
type Settings struct {
	// Transport is the way to the targets. Needed.
	Transport http.RoundTripper
	// Secret gives what messages in our own form are signed with, anew for each. nil:
	// they are not.
	Secret func() (string, error)
	// Failed is told that a target did not take a message, after all tries; the error
	// shows its host alone. Needed.
	Failed func(error)
}

// A Notifier sends alerts to notification URLs. It may be used concurrently.
type Notifier struct {
	set    Settings
	ctx    context.Context // governs the senders: ends when Close waits no longer
	cancel context.CancelFunc
	queues []*queue
	done   sync.WaitGroup
}

// A queue is what waits for one target.
type queue struct {
	url  func() (string, error)
	more chan struct{} // has one element while there is something new
	end  chan struct{} // closed by Close

	mu      sync.Mutex
	waiting []Alert
}

// NewNotifier starts a sender for each target. urls give the notification URLs, anew
// for each message; Close ends it.
func NewNotifier(s Settings, urls []func() (string, error)) *Notifier {
	n := &Notifier{set: s}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	for _, url := range urls {
		q := &queue{url: url, more: make(chan struct{}, 1), end: make(chan struct{})}
		n.queues = append(n.queues, q)
		n.done.Go(func() { n.serve(q) })
	}
	return n
}

// Notify has an alert sent, and does not wait.
func (n *Notifier) Notify(a Alert) {
	for _, q := range n.queues {
		q.put(a)
	}
}

func (q *queue) put(a Alert) {
	q.mu.Lock()
	if len(q.waiting) < maxWaiting {
		q.waiting = append(q.waiting, a)
	}
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default: // it knows
	}
}

func (q *queue) take() []Alert {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = nil
	return taken
}

// Close sends what waits, once, until ctx ends, and ends the senders.
func (n *Notifier) Close(ctx context.Context) {
	for _, q := range n.queues {
		close(q.end)
	}
	defer context.AfterFunc(ctx, n.cancel)()
	n.done.Wait()
	n.cancel()
}

// serve sends what comes to one target.
func (n *Notifier) serve(q *queue) {
	for {
		select {
		case <-q.more:
		case <-q.end:
			n.deliver(q, q.take())
			return
		}
		q.pause(gather)
		n.deliver(q, q.take())
	}
}

// pause waits, and tells whether the queue goes on.
func (q *queue) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.end:
		return false
	}
}

// deliver sends alerts, and tries it again while the target may take them.
func (n *Notifier) deliver(q *queue, alerts []Alert) {
	if len(alerts) == 0 {
		return
	}
	target, err := q.target()
	if err != nil {
		n.set.Failed(fmt.Errorf("a notification URL %w", err))
		return
	}
	for message := range slices.Values(target.messages(alerts)) {
		if err := n.send(q, target, message); err != nil {
			n.set.Failed(fmt.Errorf("telling %s: %w", target.host, err))
		}
	}
}

func (q *queue) target() (target, error) {
	text, err := q.url()
	if err != nil {
		return target{}, fmt.Errorf("cannot be read: %w", err)
	}
	return parseTarget(text)
}

func (n *Notifier) send(q *queue, t target, message []byte) (err error) {
	id := "msg_" + rand.Text() // of all tries
	pause := firstPause
	for try := 1; ; try++ {
		var again bool
		if again, err = n.post(t, id, message); err == nil || !again || try == tries || !q.pause(pause) {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

// post sends a message once. again says whether another try can do better.
func (n *Notifier) post(t target, id string, message []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(message))
	if err != nil {
		return false, errTarget
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "outrider")
	if t.kind == generic && n.set.Secret != nil {
		key, err := n.key()
		if err != nil {
			return false, fmt.Errorf("reading the secret for its signature: %w", err)
		}
		sign(req.Header, key, id, time.Now(), message)
	}
	resp, err := n.set.Transport.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			return true, errors.New("timeout")
		}
		return true, errors.New("no answer") // the error's own text may show the URL
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be kept
	_ = resp.Body.Close()
	if resp.StatusCode < 300 {
		return false, nil
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout
	return again, fmt.Errorf("it answered %d", resp.StatusCode)
}

func (n *Notifier) key() ([]byte, error) {
	secret, err := n.set.Secret()
	if err != nil {
		return nil, err
	}
	return signingKey(secret)
}
