package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/outbox"
	"outrider/proxy/store"
)

// startPatience is how long the start waits for a database that lets us in and says
// nothing more, such as a pooler that has lost its server. A file says before that it is
// busy.
const startPatience = 15 * time.Second

// storeSettings say where tokens are kept, and what seals them.
func storeSettings(file *config.File, secrets *secrets) (store.Settings, error) {
	dir, err := stateDir(file)
	if err != nil {
		return store.Settings{}, &settingError{"state_dir", err}
	}
	settings := store.Settings{Dir: dir}
	if ref := file.Store.URL; ref != "" {
		if settings.URL, err = secrets.get(ref); err != nil {
			return store.Settings{}, &settingError{"store.url", err}
		}
	}
	if ref := file.Store.Key; ref != "" {
		settings.Key = func() (string, error) {
			secrets.refused(ref) // it is asked for again when the store was sealed anew
			return secrets.storeKey(ref)
		}
	}
	return settings, nil
}

// A storage is where a sidecar keeps tokens, letters, and how far quotas are spent. The
// store is opened when the first credential needs one, or calls may become letters, and
// made then, or when there is a quota to keep.
//
// One that is wrong keeps the sidecar from starting. A database server that is away
// does not: a machine that comes up before it has upstreams that need no token. Then
// each access tries to open it, and credentials say why they have no token. Quotas alone
// keep no sidecar from starting, and tell nobody of a key that seals nothing.
type storage struct {
	file    *config.File
	secrets *secrets
	log     *slog.Logger

	patience time.Duration // of the start

	opening chan struct{} // held by the one who opens it
	store   atomic.Pointer[store.Store]
	failed  atomic.Pointer[error] // why it is not open, though somebody needs it; nil: nobody does

	forTokens  atomic.Bool // a credential needs it
	forLetters atomic.Bool // the outbox needs it
	announced  sync.Once   // to those who look after either
}

func newStorage(file *config.File, secrets *secrets, log *slog.Logger) *storage {
	return &storage{file: file, secrets: secrets, log: log, patience: startPatience, opening: make(chan struct{}, 1)}
}

// keep is where the tokens of a credential are kept.
func (s *storage) keep(credential string) (policy.Keeper, error) {
	if asked := s.forTokens.Swap(true); !asked || !s.away() {
		if err := s.openAtStart("tokens cannot be kept until the store is reached; it is tried again when one is needed"); err != nil {
			return nil, err
		}
	}
	return keeper{s, credential}, nil
}

// openAtStart opens the store before it is needed. A server that is away may come later,
// of which the log is told; what else is wrong is an error.
func (s *storage) openAtStart(later string) error {
	silent := fmt.Errorf("it did not answer within %s: %w", s.patience, store.ErrAway)
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.patience, silent)
	defer cancel()
	_, err := s.openSealed(ctx)
	if errors.Is(err, store.ErrAway) {
		s.log.Warn(later, "error", err)
		return nil
	}
	return err
}

// keepLetters opens the store for the outbox.
func (s *storage) keepLetters() error {
	if asked := s.forLetters.Swap(true); asked && s.away() {
		return nil
	}
	return s.openAtStart("calls cannot be kept until the store is reached; it is tried again when one is to be")
}

// letters gives the store to the outbox.
func (s *storage) letters(ctx context.Context) (outbox.Store, error) {
	s.forLetters.Store(true)
	opened, err := s.openSealed(ctx)
	if err != nil {
		return nil, fmt.Errorf("the store is not open: %w", err)
	}
	return outbox.Over(opened.Outbox()), nil
}

// away reports that the store did not answer so far.
func (s *storage) away() bool {
	failed := s.failed.Load()
	return s.store.Load() == nil && failed != nil && errors.Is(*failed, store.ErrAway)
}

// kept lists what is kept whose name has a prefix.
func (s *storage) kept(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	opened, err := s.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("the store is not open: %w", err)
	}
	return opened.ListBelow(ctx, prefix, after, limit)
}

// quotas gives what is kept of quotas. A store that nobody has made yet keeps none, and is
// not made.
func (s *storage) quotas(ctx context.Context) ([]store.Quota, error) {
	opened, err := s.reach(ctx, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the store is not open: %w", err)
	}
	return opened.Quotas(ctx)
}

func (s *storage) saveQuotas(ctx context.Context, quotas []store.Quota) error {
	opened, err := s.reach(ctx, false)
	if err != nil {
		return fmt.Errorf("the store is not open: %w", err)
	}
	return opened.SaveQuotas(ctx, quotas)
}

// open gives the store for tokens, and opens it if nobody has.
func (s *storage) open(ctx context.Context) (*store.Store, error) {
	s.forTokens.Store(true)
	return s.openSealed(ctx)
}

// openSealed opens the store for what is sealed in it, and says once where that is.
func (s *storage) openSealed(ctx context.Context) (*store.Store, error) {
	opened, err := s.reach(ctx, false)
	if err == nil {
		s.announced.Do(func() { s.announce(opened) })
	}
	return opened, err
}

// reach gives the store, and opens it if nobody has; existing: it makes none.
func (s *storage) reach(ctx context.Context, existing bool) (*store.Store, error) {
	if opened := s.store.Load(); opened != nil {
		return opened, nil
	}
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if opened := s.store.Load(); opened != nil {
		return opened, nil
	}
	opened, err := s.openNow(ctx, existing)
	if err != nil {
		if !existing || !errors.Is(err, fs.ErrNotExist) {
			s.failed.Store(&err)
		}
		return nil, err
	}
	s.store.Store(opened)
	return opened, nil
}

func (s *storage) openNow(ctx context.Context, existing bool) (*store.Store, error) {
	settings, err := storeSettings(s.file, s.secrets)
	if err != nil {
		return nil, err
	}
	settings.Existing = existing
	opened, err := store.Open(ctx, settings)
	if err != nil {
		return nil, storeFault(settings, err)
	}
	return opened, nil
}

// storeFault names the setting that an error of the store is about.
func storeFault(settings store.Settings, err error) error {
	key := "state_dir" // which the file of a key is in as well
	plan, failed := settings.Plan()
	switch wrongKey := errors.Is(err, store.ErrKey); {
	case wrongKey && settings.Key != nil:
		key = "store.key"
	case wrongKey && failed == nil && plan.KeyFile == "":
		key = plan.KeyFrom // the variable
	case !wrongKey && settings.URL != "":
		key = "store.url"
	}
	return &settingError{key, err}
}

// announce says what the operator should know of the store. A key file is a warning
// once, when it is made.
func (s *storage) announce(opened *store.Store) {
	plan := opened.Plan()
	what := "tokens are kept"
	if !s.forTokens.Load() {
		what = "letters are kept"
	}
	s.log.Info(what, "store", plan.Place, "key", plan.KeyFrom)
	for _, warning := range opened.Warnings() {
		s.log.Warn(warning)
	}
	if warning := keyWarning(plan, s.file); opened.KeyMade() {
		s.log.Warn(warning)
	} else if warning != "" {
		s.log.Info(warning)
	}
}

// keyWarning says what a key that Outrider made itself does not protect from; "" for
// other keys.
func keyWarning(plan store.Plan, file *config.File) string {
	switch {
	case plan.KeyFile == "":
		return ""
	case file.Store.URL != "":
		return "the key that seals what is kept is in " + plan.KeyFile + ", on this machine alone: give whoever shares the database the same, by OUTRIDER_KEY or [store] key"
	}
	return "the key that seals what is kept is in " + plan.KeyFile + ", beside it: whoever copies both can read it; OUTRIDER_KEY or [store] key keeps it elsewhere"
}

// text says where tokens and letters are kept, and what with; "" when none have to be.
func (s *storage) text() string {
	if !s.needed() {
		return ""
	}
	if opened := s.store.Load(); opened != nil {
		return planText(opened.Plan())
	}
	if failed := s.failed.Load(); failed != nil {
		return "a store that is not open: " + (*failed).Error()
	}
	return ""
}

// needed reports that there is something to be kept that is sealed.
func (s *storage) needed() bool { return s.forTokens.Load() || s.forLetters.Load() }

func planText(plan store.Plan) string {
	return plan.Place + ", sealed with the key of " + plan.KeyFrom
}

// warnings say what of the store should not stay as it is.
func (s *storage) warnings() []string {
	opened := s.store.Load()
	if opened == nil {
		return nil
	}
	warnings := opened.Warnings()
	if warning := keyWarning(opened.Plan(), s.file); warning != "" && s.needed() {
		warnings = append(warnings[:len(warnings):len(warnings)], warning)
	}
	return warnings
}

// close closes the store. Who comes later is told that it is closed.
func (s *storage) close() {
	if opened := s.store.Load(); opened != nil {
		if err := opened.Close(); err != nil {
			s.log.Warn("closing the store", "error", err)
		}
	}
}

// A keeper keeps the tokens of one credential.
type keeper struct {
	storage    *storage
	credential string
}

func (k keeper) slot(ctx context.Context) (*store.Slot, error) {
	opened, err := k.storage.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("the store is not open: %w", err)
	}
	return opened.Slot(k.credential), nil
}

func (k keeper) Load(ctx context.Context) ([]byte, error) {
	slot, err := k.slot(ctx)
	if err != nil {
		return nil, err
	}
	return slot.Load(ctx)
}

func (k keeper) Save(ctx context.Context, data []byte) error {
	slot, err := k.slot(ctx)
	if err != nil {
		return err
	}
	return slot.Save(ctx, data)
}

func (k keeper) Lock(ctx context.Context) (unlock func(), err error) {
	slot, err := k.slot(ctx)
	if err != nil {
		return nil, err
	}
	return slot.Lock(ctx)
}

func (k keeper) Remove(ctx context.Context) error {
	slot, err := k.slot(ctx)
	if err != nil {
		return err
	}
	return slot.Remove(ctx)
}
