package alarm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// volumeDropped is an upstream, or an endpoint of it, to which calls came steadily and come
// no more: no call fails, for there are none.
var volumeDropped = alert.Rule{Name: "volume-dropped", Severity: alert.Warning}

// volumes count the calls of the upstreams that the configuration says are steady, and of
// each of their endpoints.
type volumes struct {
	some atomic.Bool // all that a call looks at while there are none

	mu     sync.Mutex
	steady map[string]*volume // name of an upstream → its calls
}

// A volume are the calls of one upstream.
type volume struct {
	all       course
	endpoints map[string]*course // at most maxCourses
}

// maxCourses is how many endpoints of an upstream are counted: paths come from outside. The
// one that has had no call for longest makes room.
const maxCourses = 200

func newVolumes() *volumes { return &volumes{steady: make(map[string]*volume)} }

// follow has those upstreams counted that are steady now.
func (v *volumes) follow(upstreams []*policy.Upstream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	steady := make(map[string]*volume)
	for _, u := range upstreams {
		if !u.Config.Steady {
			continue
		}
		if steady[u.Config.Name] = v.steady[u.Config.Name]; steady[u.Config.Name] == nil {
			steady[u.Config.Name] = &volume{endpoints: make(map[string]*course)}
		}
	}
	v.steady = steady
	v.some.Store(len(steady) > 0)
}

// count counts a call, whatever became of it: it was made.
func (v *volumes) count(r *telemetry.Record, now time.Time) {
	if !v.some.Load() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	u := v.steady[r.Upstream]
	if u == nil {
		return
	}
	u.all.count(r.TraceID, now)
	u.endpoint(policy.Endpoint(r.Method, "", r.Path)).count(r.TraceID, now)
}

// endpoint is the course of an endpoint, new if it is not counted.
func (u *volume) endpoint(name string) *course {
	if c := u.endpoints[name]; c != nil {
		return c
	}
	if len(u.endpoints) >= maxCourses {
		oldest := ""
		for other, c := range u.endpoints {
			if oldest == "" || c.called < u.endpoints[oldest].called {
				oldest = other
			}
		}
		delete(u.endpoints, oldest)
	}
	c := &course{}
	u.endpoints[name] = c
	return c
}

// drops lists what has dropped by now, by its subject.
func (v *volumes) drops(now time.Time) map[string]alert.Trouble {
	v.mu.Lock()
	defer v.mu.Unlock()
	troubles := make(map[string]alert.Trouble)
	for name, u := range v.steady {
		// Each course is judged, for what it finds it remembers. Where all calls have stopped
		// those of an endpoint are no news.
		all := u.all.dropped(now)
		for endpoint, c := range u.endpoints {
			if c.dropped(now) && !all {
				trouble := volumeTrouble(name, endpoint, c)
				troubles[trouble.Subject] = trouble
			}
		}
		if all {
			trouble := volumeTrouble(name, "", &u.all)
			troubles[trouble.Subject] = trouble
		}
	}
	return troubles
}

// forget forgets all courses: nobody knows what was meanwhile.
func (v *volumes) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, u := range v.steady {
		u.all, u.endpoints = course{}, make(map[string]*course)
	}
}

// volumeTrouble tells of an endpoint whose calls have stopped, or with none of all calls.
func volumeTrouble(upstream, endpoint string, c *course) alert.Trouble {
	what := upstream
	if endpoint != "" {
		what = endpoint + " of " + upstream
	}
	return alert.Trouble{
		Subject: marked(upstream, volumeMark, endpoint), Trace: c.trace,
		Title:  "Calls to " + what + " have all but stopped",
		Detail: fmt.Sprintf("%s in the ten minutes before %s; in the six hours before there were never fewer than %d in five", count(c.fell, "call"), c.since.Local().Format("15:04"), c.usual),
		Action: "See whether what makes these calls still runs, and what it waits for. Where they may stop, upstream." + upstream + ".steady = false.",
	}
}

// A volumeLook tells of calls that do not come.
type volumeLook struct {
	book    *alert.Book
	volumes *volumes
	last    int64           // Unix seconds of the latest look; 0: there was none
	raised  map[string]bool // subjects
}

// longestPause is the longest time between two looks, in seconds, of which it is still known
// what calls there were: it is longer when the machine has slept.
const longestPause = 60

func (l *volumeLook) look(_ []policy.UpstreamStatus, now time.Time) {
	if l.last != 0 && now.Unix()-l.last > longestPause {
		l.volumes.forget()
	}
	l.last = now.Unix()
	troubles := l.volumes.drops(now)
	for subject := range l.raised {
		if _, lasts := troubles[subject]; !lasts {
			l.book.Resolve(subject, volumeDropped)
		}
	}
	l.raised = make(map[string]bool, len(troubles))
	for subject, trouble := range troubles {
		l.raised[subject] = true
		l.book.Raise(volumeDropped, trouble)
	}
}
