// Package alert tells people what they have to do something about, once when it
// begins and once when it is over.
//
//	Raise, Resolve → Book ─ Changed ─→ the log
//	                             └───→ Notifier ─ one queue for each target ─→ POST
//	                 Book ─ Active ──→ status and page
//
// A [Book] knows what is wrong now. A [Rule] may have patience: what is over before
// that is told to nobody. What is told again while it lasts is counted, and is no
// news. A [Notifier] sends what begins and ends to notification URLs, those that came
// together in one message; a target that does not answer is tried again, and holds up
// nobody: not a call, and not another target.
//
// # Messages
//
// The kind of a target is told by its host, or by what stands before its scheme:
//
//	https://hooks.slack.com/…, slack+https://…     Slack, and what takes its messages (Mattermost)
//	https://discord.com/api/webhooks/…             Discord
//	https://….logic.azure.com/…, teams+https://…   Teams, by a workflow
//	pagerduty:ROUTING-KEY                          PagerDuty, Events API v2
//	any other https://…                            our own JSON, see below
//
// Our own JSON is an object with a list "alerts", whose members have rule, severity,
// subject, title, detail, since, ended (missing: it lasts) and count. With a secret
// it is signed as Standard Webhooks says (https://www.standardwebhooks.com), in the
// headers webhook-id, webhook-timestamp and webhook-signature.
//
// A notification URL is a secret, for most of them need no other: errors and logs
// show its host alone.
package alert
