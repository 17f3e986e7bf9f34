package telemetry

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"outrider/policy"
)

// quotaGauges are the states of quotas, of which those of many hosts or credentials are
// folded: one value for each upstream and limit, or for each upstream and bucket, by the
// one of which the largest share is used up.
type quotaGauges struct {
	tokens, limit, remaining, reset, utilization, gate, call metric.Float64ObservableGauge
	waiting, active                                          metric.Int64ObservableGauge
}

func (g *quotaGauges) init(m metric.Meter) error {
	var errs [9]error
	g.tokens, errs[0] = m.Float64ObservableGauge("outrider.quota.tokens",
		metric.WithDescription("Calls that may be sent at once, of a limit that is configured; the tightest quota of the limit."))
	g.limit, errs[1] = m.Float64ObservableGauge("outrider.quota.limit",
		metric.WithDescription("What there is of a quota that is learned, in the provider's units."))
	g.remaining, errs[2] = m.Float64ObservableGauge("outrider.quota.remaining",
		metric.WithDescription("What is left of a quota that is learned, in the provider's units, less what is on its way."))
	g.reset, errs[3] = m.Float64ObservableGauge("outrider.quota.reset", metric.WithUnit("s"),
		metric.WithDescription("Time until all is back of a quota that is learned; 0 when nothing is spent."))
	g.utilization, errs[4] = m.Float64ObservableGauge("outrider.quota.utilization", metric.WithUnit("1"),
		metric.WithDescription("The share of a quota that is used up."))
	g.gate, errs[5] = m.Float64ObservableGauge("outrider.quota.gate", metric.WithUnit("s"),
		metric.WithDescription("Time until the last gate that the provider closed opens; 0 when all are open."))
	g.waiting, errs[6] = m.Int64ObservableGauge("outrider.quota.waiting",
		metric.WithDescription("Calls in line for a turn, by class: a call that has waited long is in a higher class than that of its priority."))
	g.active, errs[7] = m.Int64ObservableGauge("outrider.quota.active",
		metric.WithDescription("Calls under way."))
	g.call, errs[8] = m.Float64ObservableGauge("outrider.quota.call",
		metric.WithDescription("What a call is taken to need of a quota that is learned, where answers tell what each takes."))
	return errors.Join(errs[:]...)
}

func (g *quotaGauges) all() []metric.Observable {
	return []metric.Observable{g.tokens, g.limit, g.remaining, g.reset, g.utilization, g.gate, g.call, g.waiting, g.active}
}

// observe tells the quotas of one upstream.
func (g *quotaGauges) observe(o metric.Observer, up policy.UpstreamStatus, now time.Time) {
	for at, q := range foldQuotas(up.Quotas, now) {
		attrs := []attribute.KeyValue{labelUpstream.String(up.Name), attribute.String("limit", at.limit)}
		if at.bucket != "" {
			attrs = append(attrs, attribute.String("bucket", at.bucket))
		}
		labels := metric.WithAttributes(attrs...)
		if q.tightest.Room > 0 {
			o.ObserveFloat64(g.tokens, q.tightest.Tokens, labels)
		}
		if known := q.tightest.Learned; known != nil {
			g.learned(o, known, now, labels, metric.WithAttributes(unitLabel(known.Unit)...))
		}
		if used := q.tightest.Utilization; used != nil {
			o.ObserveFloat64(g.utilization, *used, labels)
		}
		for _, class := range []struct {
			name    string
			waiting int
		}{{"high", q.line.High}, {"normal", q.line.Normal}, {"low", q.line.Low}} {
			o.ObserveInt64(g.waiting, int64(class.waiting), labels, metric.WithAttributes(attribute.String("priority", class.name)))
		}
		o.ObserveInt64(g.active, q.active, labels)
		o.ObserveFloat64(g.gate, q.gate.Seconds(), labels)
	}
}

// learned tells what is known of a bucket; nothing of what is not.
func (g *quotaGauges) learned(o metric.Observer, known *policy.LearnedStatus, now time.Time, labels, unit metric.MeasurementOption) {
	o.ObserveFloat64(g.remaining, known.Remaining, labels, unit)
	if known.Limit > 0 {
		o.ObserveFloat64(g.limit, known.Limit, labels, unit)
	}
	if known.Each > 0 {
		o.ObserveFloat64(g.call, known.Each, labels, unit)
	}
	var reset time.Duration
	if known.Reset != nil {
		reset = max(known.Reset.Sub(now), 0)
	}
	o.ObserveFloat64(g.reset, reset.Seconds(), labels)
}

// unitLabel names what a bucket counts, if that is not calls, and no word of the provider's
// own.
func unitLabel(unit string) []attribute.KeyValue {
	switch unit {
	case "points", "tokens":
		return []attribute.KeyValue{attribute.String("unit", unit)}
	}
	return nil
}

// A quotaLabel is what the quotas of an upstream are folded by.
type quotaLabel struct{ limit, bucket string }

// quotas is what the quotas of one label come to.
type quotas struct {
	tightest policy.QuotaStatus
	line     policy.Line
	active   int64
	gate     time.Duration
}

// foldQuotas folds quotas by their limit as configured, or by their bucket.
func foldQuotas(list []policy.QuotaStatus, now time.Time) map[quotaLabel]quotas {
	names := bucketLabels(list)
	folded := make(map[quotaLabel]quotas)
	for _, q := range list {
		at := quotaLabel{q.Limit, names[q.Bucket]}
		sum, seen := folded[at]
		if !seen || tighter(&q, &sum.tightest) {
			sum.tightest = q
		}
		sum.line.High += q.Line.High
		sum.line.Normal += q.Line.Normal
		sum.line.Low += q.Line.Low
		sum.active += int64(q.Active)
		if q.Gate != nil {
			sum.gate = max(sum.gate, q.Gate.Sub(now))
		}
		folded[at] = sum
	}
	return folded
}

// tighter reports whether a is nearer to its end than b: a larger share of it is used up, or
// less is left where that cannot be told.
func tighter(a, b *policy.QuotaStatus) bool {
	if used, other := usedUp(a), usedUp(b); used != other {
		return used > other
	}
	return leftOf(a) < leftOf(b)
}

func usedUp(q *policy.QuotaStatus) float64 {
	if q.Utilization == nil {
		return -1
	}
	return *q.Utilization
}

func leftOf(q *policy.QuotaStatus) float64 {
	switch {
	case q.Learned != nil:
		return q.Learned.Remaining
	case q.Room > 0:
		return q.Tokens
	}
	return math.Inf(1)
}

// maxBuckets bounds the names of buckets in the labels of one upstream: it is the provider
// who gives them. Those beyond are otherBuckets together.
const (
	maxBuckets   = 64
	otherBuckets = "other"
)

// bucketLabels maps buckets to what they are called in labels: by their name alone, where
// a provider divides a bucket among those who use it.
func bucketLabels(list []policy.QuotaStatus) map[string]string {
	labels := map[string]string{"": ""} // bucket → label
	for _, q := range list {
		labels[q.Bucket], _, _ = strings.Cut(q.Bucket, " ")
	}
	names := slices.Compact(slices.Sorted(maps.Values(labels)))
	for bucket, name := range labels {
		if i, _ := slices.BinarySearch(names, name); i > maxBuckets { // the first is that of no bucket
			labels[bucket] = otherBuckets
		}
	}
	return labels
}
