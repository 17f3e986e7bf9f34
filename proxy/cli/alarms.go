package cli

import (
	"outrider/policy/config"
	"outrider/proxy/alert"
	"outrider/proxy/egress"
)

// follow has the alarms and the outbox go by the configuration that is live now.
func (s *sidecar) follow() {
	s.alarms.Follow(s.live.Load())
	s.sender.follow(s.live.Load().File)
}

// alertWays are the ways to those who are notified.
func (s *sidecar) alertWays(file *config.File) (alert.Settings, error) {
	way, err := s.way(file.Egress)
	if err != nil {
		return alert.Settings{}, err
	}
	guard := egress.NewOpenGuard(s.ours)
	transport, err := egress.New(egress.Settings{Guard: guard, Proxy: way})
	return alert.Settings{
		Source:    alertSource(s.telemetry.ServiceName()),
		Transport: transport, Dial: egress.Dialer{Guard: guard, Proxy: way}.Dial,
	}, err
}
