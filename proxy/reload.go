package proxy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy"
	"outrider/policy/config"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a configuration file has to be quiet before it is read: an
// editor writes in several steps. poll is how often it is read all the same,
// because network file systems and some bind mounts tell nothing.
const (
	settle = 200 * time.Millisecond
	poll   = 30 * time.Second
)

// A Reloader replaces the live Set when its file changes. A file that is not
// good changes nothing: the last good one stays, and says so in Status.
type Reloader struct {
	Path string
	Live *policy.Live
	Env  policy.Env
	// Check finds what is wrong with a file beside its policies. nil: nothing.
	Check func(file *config.File) error
	// Changed is told when another configuration is live. nil: nobody.
	Changed func()
	// Ended is told how each reload has ended; nil: as it should. nil: nobody is told.
	Ended func(err error)
	Log   *slog.Logger

	mu     sync.Mutex // held while a file is compiled: one reload at a time
	data   []byte     // the file that is live
	seen   []byte     // the file that was looked at last, good or bad
	status atomic.Pointer[ReloadStatus]
}

// ReloadStatus says how the last reload ended.
type ReloadStatus struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error,omitempty"`
}

// Load reads and publishes the first configuration.
func (r *Reloader) Load(data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	file, err := config.Parse(r.Path, data)
	if err != nil {
		return err
	}
	return r.publish(file, data)
}

// Reload reads the file again. The same bytes change nothing.
func (r *Reloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed, err := r.reload()
	status := &ReloadStatus{Time: time.Now()}
	switch {
	case err != nil:
		status.Error = err.Error()
		r.Log.Error("the configuration was not reloaded; the last good one stays", "file", r.Path, "error", err)
	case changed:
		if r.Changed != nil {
			r.Changed()
		}
		r.Log.Info("the configuration was reloaded", "file", r.Path, "upstreams", len(r.Live.Load().Upstreams()))
	}
	r.status.Store(status)
	if r.Ended != nil {
		r.Ended(err)
	}
	return err
}

// Status is how the last reload ended; nil when there was none.
func (r *Reloader) Status() *ReloadStatus { return r.status.Load() }

func (r *Reloader) reload() (changed bool, err error) {
	if r.Path == "" {
		return false, errors.New("there is no configuration file to reload: Outrider was started without one")
	}
	data, err := os.ReadFile(r.Path)
	if err != nil {
		r.seen = nil // the same file, when it is back, ends this
		return false, err
	}
	r.seen = data
	if bytes.Equal(data, r.data) {
		return false, nil
	}
	file, err := config.Parse(r.Path, data)
	if err != nil {
		return false, err
	}
	if err := fixed(r.Live.Load().File, file); err != nil {
		return false, err
	}
	return true, r.publish(file, data)
}

func (r *Reloader) publish(file *config.File, data []byte) error {
	if r.Check != nil {
		if err := r.Check(file); err != nil {
			return err
		}
	}
	set, err := policy.Compile(file, r.Env, r.Live.Load())
	if err != nil {
		return err
	}
	r.Live.Publish(set)
	r.data, r.seen = data, data
	for _, warning := range file.Warnings {
		r.Log.Warn(warning)
	}
	return nil
}

// fixed finds the settings that a running process cannot change.
func fixed(now, next *config.File) error {
	var errs []error
	check := func(key string, same bool) {
		if !same {
			errs = append(errs, &restartError{key})
		}
	}
	check("listen", now.Listen == next.Listen)
	check("admin", now.Admin == next.Admin)
	check("state_dir", now.StateDir == next.StateDir)
	check("access_key", (now.AccessKey == "") == (next.AccessKey == ""))
	check("store.url", now.Store.URL == next.Store.URL)
	check("store.key", now.Store.Key == next.Store.Key)
	check("telemetry", now.Telemetry == next.Telemetry)
	before, after := ownListeners(now), ownListeners(next)
	for _, name := range slices.Sorted(maps.Keys(merge(before, after))) {
		check("upstream."+name+".listen", before[name] == after[name])
	}
	return errors.Join(errs...)
}

// A restartError names a setting that only a restart can change.
type restartError struct{ key string }

func (e *restartError) Error() string {
	return e.key + ": cannot be changed by a reload; restart Outrider"
}

// NeedsRestart tells it from a file that is wrong.
func (e *restartError) NeedsRestart() bool { return true }

// ownListeners maps upstream → its own address.
func ownListeners(f *config.File) map[string]string {
	own := make(map[string]string)
	for _, u := range f.Upstreams {
		if u.Listen != "" {
			own[u.Name] = u.Listen
		}
	}
	return own
}

func merge(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// Watch reloads until ctx ends: when the file changes, and when asked by hup.
// The directory is watched, not the file, because editors replace the file and
// Kubernetes a link beside it; the content decides whether anything changed.
func (r *Reloader) Watch(ctx context.Context, hup <-chan os.Signal) {
	events, errs, closeWatcher := r.watch()
	defer closeWatcher()
	quiet := time.NewTimer(settle)
	quiet.Stop()
	slow := time.NewTicker(poll)
	defer slow.Stop()
	r.reloadIfChanged() // since it was loaded, before anybody watched
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			_ = r.Reload() // told in the log and in Status
		case <-events:
			quiet.Reset(settle)
		case err := <-errs: // an overflow: something may have been missed
			r.Log.Debug("watching the configuration", "error", err)
			quiet.Reset(settle)
		case <-quiet.C:
			r.reloadIfChanged()
		case <-slow.C:
			r.reloadIfChanged()
		}
	}
}

// reloadIfChanged reloads a file that was not looked at before, so that a bad
// one is reported once.
func (r *Reloader) reloadIfChanged() {
	data, err := os.ReadFile(r.Path)
	if err != nil {
		return // gone for a moment, while somebody replaces it
	}
	r.mu.Lock()
	known := r.seen != nil && bytes.Equal(data, r.seen)
	r.mu.Unlock()
	if !known {
		_ = r.Reload() // told in the log and in Status
	}
}

// watch tells of changes in the file's directory. Where that is not to be had,
// it tells nothing, and the slow look remains.
func (r *Reloader) watch() (<-chan fsnotify.Event, <-chan error, func()) {
	if r.Path == "" {
		return nil, nil, func() {}
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(filepath.Dir(r.Path)); err == nil {
			return watcher.Events, watcher.Errors, func() { _ = watcher.Close() }
		}
		_ = watcher.Close()
	}
	r.Log.Warn("changes of the configuration are seen late", "every", poll, "error", err)
	return nil, nil, func() {}
}
