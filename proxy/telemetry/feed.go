package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
)

// feed hands finished calls to those who follow them. Nobody waits for a follower.
type feed struct {
	some      atomic.Bool // whether anybody follows: all that a call looks at where nobody does
	mu        sync.RWMutex
	followers map[*Follower]struct{}
}

// A Follower sees calls as they end.
type Follower struct {
	feed   *feed
	filter Filter
	calls  chan *Record
	lost   atomic.Uint64
}

// maxUnread is how many calls a follower may be behind.
const maxUnread = 1024

// Follow has the calls that f takes handed to the follower, from now on. It must be
// closed.
func (t *Telemetry) Follow(f Filter) *Follower {
	t.Flush() // of what was before
	follower := &Follower{feed: &t.feed, filter: f, calls: make(chan *Record, maxUnread)}
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	if t.feed.followers == nil {
		t.feed.followers = make(map[*Follower]struct{})
	}
	t.feed.followers[follower] = struct{}{}
	t.feed.some.Store(true)
	return follower
}

// tell hands r to all who follow. What a follower has no room for is counted, and lost
// to it. r is theirs: nobody may change it any more.
func (f *feed) tell(r *Record) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for follower := range f.followers {
		if !follower.filter.Match(r) {
			continue
		}
		select {
		case follower.calls <- r:
		default:
			follower.lost.Add(1)
		}
	}
}

// Next waits for calls, and gives those that there are then, at most so many, the oldest
// first, with how many were lost since it was last asked. Its error is that of ctx.
func (f *Follower) Next(ctx context.Context, most int) (calls []*Record, lost uint64, err error) {
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case first := <-f.calls:
		calls = append(calls, first)
	}
	for len(calls) < most {
		select {
		case next := <-f.calls:
			calls = append(calls, next)
			continue
		default:
		}
		break
	}
	return calls, f.lost.Swap(0), nil
}

// Close ends the following.
func (f *Follower) Close() {
	f.feed.mu.Lock()
	defer f.feed.mu.Unlock()
	delete(f.feed.followers, f)
	f.feed.some.Store(len(f.feed.followers) > 0)
}
