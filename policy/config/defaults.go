package config

import "time"

// The defaults are those that config.toml shows; a test compares the two.

// Default is what an empty document means: no upstreams, everything else as
// config.toml says.
func Default() *File {
	return &File{
		Listen:  "127.0.0.1:8080",
		Admin:   "127.0.0.1:8081",
		Forward: Forward{Unlisted: "tunnel", Intercept: true, IdleTimeout: 15 * time.Minute, MaxTunnels: 4096},
		Egress:  Egress{Proxy: "environment"},
		Outbox: Outbox{
			MaxAge:      24 * time.Hour,
			MaxSize:     1 << 30,
			MaxBody:     64 << 20,
			KeepResults: 24 * time.Hour,
			KeepDead:    30 * 24 * time.Hour,
			DedupWindow: 24 * time.Hour,
			Attempts:    100,
			Concurrency: 16,
			OnDead:      "hold",
			Priority:    "low",
		},
		Telemetry: Telemetry{
			ServiceName: "outrider",
			Sample:      1,
			KeepErrors:  true,
			KeepSlow:    5 * time.Second,
			LogFormat:   "json",
			LogLevel:    "info",
			AccessLog:   true,
		},
	}
}

func defaultPolicy() Policy {
	return Policy{
		Timeout:        60 * time.Second,
		AttemptTimeout: 20 * time.Second,
		IdleTimeout:    5 * time.Minute,
		ReplayBody:     1 << 20,
		Auth:           Auth{Type: "passthrough"},
		Cost:           1,
		Limits:         []Limit{defaultLimit()},
		Retry: Retry{
			Attempts: 3,
			Base:     100 * time.Millisecond,
			Cap:      20 * time.Second,
			Budget:   0.1,
			Statuses: []int{408, 425, 429, 500, 502, 503, 504},
			KeyAge:   24 * time.Hour,
		},
		Outbox: OutboxNever,
	}
}

// defaultCircuit has the window that holds when nothing else asks for a longer
// one: see fitWindow.
func defaultCircuit() Circuit {
	return Circuit{
		Window:       30 * time.Second,
		MinCalls:     20,
		FailureRatio: 0.5,
		FailureRun:   20,
		Slow:         15 * time.Second,
		SlowRatio:    0.8,
		Consecutive:  5,
		Open:         5 * time.Second,
		OpenMax:      10 * time.Second,
		Ramp:         10 * time.Second,
	}
}

// defaultLimit is what a limit table starts from. It is the limit of an upstream without
// a table: what is learned alone.
func defaultLimit() Limit {
	return Limit{
		MaxWait:  30 * time.Second,
		MaxQueue: 10000,
		Shape:    "auto",
		Learn:    true,
		Dialect:  "auto",
		Per:      "credential",
	}
}
