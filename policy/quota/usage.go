package quota

import (
	"strings"
	"time"
)

// usage is Sforce-Limit-Info of Salesforce, the calls of the last 24 hours:
//
//	api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)
//
// What else it may name is no quota of calls. It says no reset, since the
// window moves on call by call.
type usage struct{ field string }

func (f usage) read(r *reading) {
	for part := range strings.SplitSeq(r.one(f.field), ";") {
		name, value, _ := strings.Cut(trim(part), "=")
		if name != "api-usage" && name != "per-app-api-usage" {
			continue
		}
		value, note, _ := strings.Cut(value, "(")
		v := View{Bucket: name, Unit: Requests, Window: 24 * time.Hour}
		v.Used, v.Limit = ratio(value)
		if app, ok := strings.CutPrefix(note, "appName="); ok {
			v.Partition, _ = label(strings.TrimSuffix(app, ")"))
		}
		r.add(v)
	}
}

func (f usage) fields() []string { return []string{f.field} }
