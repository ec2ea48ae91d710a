// Package dm carries private messages: Send writes them down, the Courier
// hands them to the recipient's devices, and Receive is their only entrance.
//
// Callers: api sends, marks and answers requests; node runs the Courier, hands
// it incoming streams and tells it which devices connected; the mailbox will
// deliver into Receive. It calls store for every change, identity for devices
// and keys, seal for the ratchet, guard for pace and blocks, and a Dialer.
//
// Invariants:
//   - Write first, send second: a ciphertext leaves after the commit that
//     holds it and the advanced session, and retries send the same bytes.
//   - Receive commits session, message and seen mark together, and the receipt
//     is signed after that commit. What did not open changed nothing.
//   - A delivery state follows a proof: a receipt of the recipient's device.
//     Written bytes prove nothing, so that a live message is never SENT.
//   - Sessions change inside store.Write only, so one writer orders them all.
//
// Goroutines: Run starts one worker for each device with waiting messages, at
// most maxWorkers, each worker one reader of answers, and at most maxResolves
// look-ups; all end before Run returns. Handle starts one reader of frames and
// waits for it.
package dm
