package quota

import "time"

// counts are the fields that tell of one quota, a number in each. A part that
// has no field is empty.
type counts struct {
	limit, remaining, used string
	ratio                  string   // used and limit in one field
	window                 string   // its length in milliseconds
	reset                  string   // as clock reads it
	after                  string   // the same in seconds from now, which goes first
	next                   string   // when some is there, for those who do not say when all is
	name                   []string // of the bucket; the first that is there

	bucket string // where no field names it
	unit   Unit
	units  map[string]Unit // bucket → unit, where it differs
	length time.Duration   // of the window, where it is documented
	refill Refill          // at reset
	clock  clock           // nil: byLook
}

func (c counts) read(r *reading) {
	v, policies := c.view(r)
	v.join(policies)
	r.add(v)
	r.addRest(policies)
}

// view is what the fields say, and the policies beside the limit.
func (c counts) view(r *reading) (View, []policy) {
	v := View{Bucket: c.bucket, Unit: c.unit, Window: c.length, Refill: c.refill}
	for _, field := range c.name {
		if name, ok := label(r.one(field)); ok {
			v.Bucket = name
			break
		}
	}
	if unit, ok := c.units[v.Bucket]; ok {
		v.Unit = unit
	}
	var policies []policy
	v.Limit, policies = r.limit(c.limit)
	v.Remaining, v.Used = r.count(c.remaining), r.count(c.used)
	if c.ratio != "" {
		v.Used, v.Limit = ratio(r.one(c.ratio))
	}
	if a, ok := number(r.one(c.window)); ok {
		v.Window, _ = a.of(time.Millisecond)
	}
	v.Reset = c.when(r)
	if v.Reset.IsZero() {
		v.Reset, v.Refill = byLook(r, r.one(c.next)), Some
	}
	return v, policies
}

func (c counts) when(r *reading) time.Time {
	if at := seconds(r, r.one(c.after)); !at.IsZero() {
		return at
	}
	if c.clock != nil {
		return c.clock(r, r.one(c.reset))
	}
	return byLook(r, r.one(c.reset))
}

func (c counts) fields() []string {
	return append([]string{c.limit, c.remaining, c.used, c.ratio, c.window, c.reset, c.after, c.next}, c.name...)
}
