// Package retry sends a call again when that is safe and worth it.
//
// It is one decorator, outside of everything that an attempt goes through:
//
//	retry(hedge(auth(circuit(limit(answer(credential(attempt(transport))))))))
//
// so every attempt gets a live credential, is judged by the circuit and pays
// for its turn.
//
// An attempt is followed by another when all of these hold, asked in this
// order; the first that does not is the reason that Settings.OnGiveUp gets:
//
//  1. The outcome is worth it: an error of the transport, a status of
//     Settings.Statuses, or the server asks for it. Where Settings.Answer says
//     what a response means, that goes before its status. What we refused
//     ourselves is an answer, not a failure.
//  2. The caller still waits, and has not turned retries off.
//  3. It cannot do harm: see [Table].
//  4. There are attempts left.
//  5. The wait before it ends before the call's deadline does, and so does the one for
//     its turn after that. Otherwise the caller is better served by the upstream's
//     answer now.
//  6. The [Budget] that all calls to the host share has a retry left.
//  7. The body can be had again.
//
// A request may come to us as a retry already: client libraries retry as well. Such a
// call is never refused for that, but it adds nothing to the budget and takes a retry
// from it: see [Repeats]. So three attempts behind three of ours do not become nine.
//
// What ends the loop is passed on as it is: a response with its body unread;
// an error plain after one attempt, as an [ExhaustedError] after several.
package retry
