package alert

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
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
	// firstPause and maxPause are between the tries to send one; there are tries until it
	// has lasted for so long.
	firstPause, maxPause = time.Second, 5 * time.Minute
	lasting              = time.Hour
)

// Settings say how a Notifier sends.
type Settings struct {
	// Source says who tells, such as the service and its machine: "orders on web-1". Needed.
	Source string
	// Transport is the way to the targets that have a URL. Needed.
	Transport http.RoundTripper
	// Dial is the way to mail servers. Needed where there is one.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are those that the certificates of mail servers are checked with; nil: the
	// system's.
	Roots *x509.CertPool
	// Secret gives what messages in our own form are signed with, anew for each. nil:
	// they are not.
	Secret func() (string, error)
	// Latest gives what is known of an alert by the time that it is sent. nil: what was
	// told.
	Latest func(Alert) Alert
	// Failed is told that a target did not take a message, after all tries; the error
	// shows its host alone. Needed.
	Failed func(error)
}

// A Target is who is notified.
type Target struct {
	// Name tells it from others; it is shown nowhere.
	Name string
	// URL gives its notification URL, anew for each message.
	URL func() (string, error)
}

// A Notifier sends alerts to notification URLs. It may be used concurrently.
type Notifier struct {
	ctx    context.Context // governs the senders: ends when Close waits no longer
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	set    Settings
	queues []*queue
}

// NewNotifier starts a sender for each target; Close ends it.
func NewNotifier(s Settings, targets []Target) *Notifier {
	n := &Notifier{}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.Follow(s, targets)
	return n
}

// Follow has the notifier go by other settings and targets, but not after Close. A target
// that stays, by its name, keeps what waits for it, how it is, and what it may have in this
// hour; a message that is under way to it goes by the settings from its next try on. What
// waits for one that does not stay is sent, once.
func (n *Notifier) Follow(s Settings, targets []Target) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := slices.Clone(n.queues)
	n.set, n.queues = s, make([]*queue, 0, len(targets))
	for _, t := range targets {
		at := slices.IndexFunc(before, func(q *queue) bool { return q.Name == t.Name })
		if at < 0 {
			n.queues = append(n.queues, n.open(t))
			continue
		}
		n.queues = append(n.queues, before[at])
		before = slices.Delete(before, at, at+1)
	}
	for _, gone := range before {
		close(gone.end)
	}
}

// open starts the sender for a target.
func (n *Notifier) open(t Target) *queue {
	q := &queue{Target: t, more: make(chan struct{}, 1), end: make(chan struct{})}
	n.done.Go(func() { n.serve(q) })
	return q
}

// settings are those of now.
func (n *Notifier) settings() Settings {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.set
}

// list are the queues of the targets of now, which nobody changes.
func (n *Notifier) list() []*queue {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queues
}

// Notify has an alert sent, and does not wait.
func (n *Notifier) Notify(a Alert) {
	for _, q := range n.list() {
		q.put(a)
	}
}

// Status tells how it goes with each target, in their order.
func (n *Notifier) Status() []TargetStatus {
	queues := n.list()
	list := make([]TargetStatus, 0, len(queues))
	for _, q := range queues {
		list = append(list, q.state())
	}
	return list
}

// Close sends what waits, once, until ctx ends, and ends the senders.
func (n *Notifier) Close(ctx context.Context) {
	for _, q := range n.list() {
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
			n.deliver(q)
			n.abandon(q)
			return
		}
		q.pause(gather)
		n.deliver(q)
		for wait := q.allowance.wait(time.Now()); !q.empty() && q.pause(max(gather, wait)); wait = q.allowance.wait(time.Now()) {
			if wait > 0 {
				q.thin()
			}
			n.deliver(q)
		}
	}
}

// deliver sends what waits, or as much of it as the target may have now.
func (n *Notifier) deliver(q *queue) {
	if q.empty() {
		return
	}
	target, err := q.target()
	if err != nil {
		err = fmt.Errorf("a notification URL %w", err)
		lost, _ := q.take(maxWaiting)
		q.lose(len(lost))
		q.tried(err)
		n.settings().Failed(err)
		return
	}
	left := q.allowance.left(time.Now())
	if left <= 0 && (target.kind == pagerDuty || !q.ending()) {
		return
	}
	most := maxWaiting
	if target.kind == pagerDuty {
		most = left
	}
	alerts, untold := q.take(most)
	n.update(alerts)
	set := n.settings()
	for _, message := range target.messages(report{set.Source, alerts, untold}) {
		q.allowance.spend(time.Now())
		if err := n.send(q, target, message); err != nil {
			set.Failed(fmt.Errorf("telling %s: %w", target.host, err))
		}
	}
}

// abandon counts what the target may not have any more, when there is no later.
func (n *Notifier) abandon(q *queue) {
	lost, _ := q.take(maxWaiting)
	if len(lost) == 0 {
		return
	}
	q.lose(len(lost))
	n.settings().Failed(fmt.Errorf("telling %s: %d alerts are more than it may have in an hour", q.state().Target, len(lost)))
}

// update brings alerts that last up to date.
func (n *Notifier) update(alerts []Alert) {
	latest := n.settings().Latest
	if latest == nil {
		return
	}
	for i, a := range alerts {
		if a.Ended == nil {
			alerts[i] = latest(a)
		}
	}
}

func (q *queue) target() (target, error) {
	text, err := q.URL()
	if err != nil {
		return target{}, fmt.Errorf("cannot be read: %w", err)
	}
	t, err := parseTarget(text)
	if err == nil {
		q.known(t)
	}
	return t, err
}

// send sends a message, and tries it again while the target may take it, but not before
// it says.
func (n *Notifier) send(q *queue, t target, message []byte) error {
	id := "msg_" + rand.Text() // of all tries
	begun := time.Now()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		again, err := n.try(n.ctx, t, id, message)
		q.tried(err)
		wait := pause
		if refused, ok := errors.AsType[*refusal](err); ok {
			wait = max(wait, refused.after)
		}
		if err == nil || !again || time.Since(begun)+wait > lasting || !q.pause(wait) {
			return err
		}
	}
}

// try sends a message once. again says whether another try can do better.
func (n *Notifier) try(ctx context.Context, t target, id string, message []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	set := n.settings()
	if t.kind == mail {
		return set.mail(ctx, t, id, message)
	}
	return set.post(ctx, t, id, message)
}
