package chat

// Admission says whether bytes may travel. Reject is a fault that every honest
// node computes from the signed bytes alone; everything that hangs on our
// clock, load, blocks or view is Ignore and punishes nobody.
type Admission uint8

const (
	Admit Admission = iota
	Ignore
	Reject
)

// Action says how a text is shown.
type Action uint8

const (
	Show Action = iota
	Fold
	Hide
)

// Verdict is what the local classifier says of a text. It is reversible and
// never decides propagation. The judge that fills it comes with package
// moderation.
type Verdict struct {
	Action Action
	Reason string
	Model  string
}
