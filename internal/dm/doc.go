// Package dm carries private messages: Send writes them down, the Courier
// hands them to the recipient's devices, and Receive is their only entrance.
//
// Callers: api sends, marks and answers requests; node runs the Courier, hands
// it incoming streams, tells it which devices connected, and delivers collected
// mail into Receive. It calls store for every change, identity for devices
// and keys, seal for the ratchet, guard for pace and blocks, a Dialer, and a
// Depositor for devices that are away.
//
// Invariants:
//   - Write first, send second: a ciphertext leaves after the commit that
//     holds it and the advanced session, and retries send the same bytes.
//   - Receive commits session, message and seen mark together, and the receipt
//     is signed after that commit. What did not open changed nothing.
//   - A delivery state follows a proof: a receipt of the recipient's device, or
//     storage receipts of those who keep its mail. Written bytes prove nothing,
//     so that a live message is never SENT.
//   - Mail is the sealed bytes of the live way, and its row stays in the outbox
//     until the receipt: both ways may bring it, and it is stored once.
//   - Sessions change inside store.Write only, so one writer orders them all.
//
// Goroutines: Run starts one worker for each device with waiting messages, at
// most maxWorkers, each worker one reader of answers and one dial ahead of the
// first message; at most maxResolves look-ups, which may begin the dials of
// workers to come; and the mail loop with at most maxMails deposits. All end
// before Run returns. Handle starts one reader of frames and waits for it.
package dm
