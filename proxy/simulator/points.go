package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// points are the buckets of /graphql in use, each for one credential, name and terms.
type points struct {
	mu    sync.Mutex
	table *bounded[*pointBucket]
}

func newPoints(most int) *points { return &points{table: newBounded[*pointBucket](most)} }

func (p *points) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.table.clear()
}

// charge takes points out of a bucket, if it has as many; left is what it has then.
func (p *points) charge(id string, maximum, restore, cost int) (left int, admitted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.table.get(id)
	if !ok {
		b = &pointBucket{maximum: float64(maximum), restore: float64(restore), available: float64(maximum), at: time.Now()}
		p.table.put(id, b)
	}
	if b.restored(time.Now()); b.available >= float64(cost) {
		b.available -= float64(cost)
		admitted = true
	}
	return int(b.available), admitted
}

// refund gives points back to a bucket; left is what it has then.
func (p *points) refund(id string, n int) (left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.table.get(id)
	if !ok {
		return 0 // forgotten meanwhile
	}
	b.restored(time.Now())
	b.available = min(b.available+float64(n), b.maximum)
	return int(b.available)
}

// A pointBucket is a bucket that refills steadily. Its owner's lock guards it.
type pointBucket struct {
	maximum, restore float64 // restore is in points a second
	available        float64 // at at
	at               time.Time
}

func (b *pointBucket) restored(now time.Time) {
	b.available = min(b.available+b.restore*now.Sub(b.at).Seconds(), b.maximum)
	b.at = now
}

// graphQL serves /graphql/NAME/…: an API that weighs its queries, as Shopify does. What a
// query may cost is charged when it comes, and what it did not need is given back with the
// answer. One that asks for more than there is has 200, an error, and cost nothing.
func graphQL(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	maximum, restore := p.count("maximum", 1000, 1, maxLimit), p.count("restore", 50, 1, maxLimit)
	cost := p.count("cost", min(10, maximum), 0, maximum)
	actual, lasts := p.count("actual", cost, 0, cost), p.duration("hold", 0)
	if p.refused(w) {
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/graphql/"), "/")
	label := "points/" + headerSafe(orElse(name, "default")) + "/" + p.text("key", Fingerprint(credentialOf(r)))
	id := fmt.Sprintf("%s %d %d", label, maximum, restore)
	drain(r)
	left, admitted := s.points.charge(id, maximum, restore, cost)
	if !admitted {
		s.tally.quota(label, func(q *QuotaStats) { q.Throttled++ })
		respondPoints(w, `"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]`, cost, "null", maximum, left, restore)
		return
	}
	s.tally.quota(label, func(q *QuotaStats) {
		q.Admitted++
		q.Points += int64(actual)
		q.inFlight++
	})
	defer s.tally.quota(label, func(q *QuotaStats) { q.inFlight-- })
	hold(r.Context(), lasts)
	left = s.points.refund(id, cost-actual)
	respondPoints(w, `"data":{"ok":true}`, cost, fmt.Sprint(actual), maximum, left, restore)
}

// respondPoints answers with what there is to say, and with the points.
func respondPoints(w http.ResponseWriter, said string, cost int, actual string, maximum, left, restore int) {
	respondBytes(w, http.StatusOK, "application/json", fmt.Appendf(nil,
		`{%s,"extensions":{"cost":{"requestedQueryCost":%d,"actualQueryCost":%s,"throttleStatus":{"maximumAvailable":%d.0,"currentlyAvailable":%d,"restoreRate":%d.0}}}}`+"\n",
		said, cost, actual, maximum, left, restore))
}
