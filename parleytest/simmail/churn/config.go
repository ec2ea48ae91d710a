package churn

import (
	"errors"
	"fmt"
	"time"

	"parley/internal/chat"
)

// Config is one simulated network.
type Config struct {
	Nodes    int           // 0: 200; at most MaxNodes
	Boxes    int           // with a message each; 0: 10,000
	K        int           // holders of each; 0: chat.RegionSize
	Horizon  time.Duration // when the receiver returns; 0: chat.RepairHorizon
	Period   time.Duration // of repair, unless adapted; 0: chat.RepairEvery
	Life     time.Duration // median of a node
	Droppers float64       // share of nodes that sign and drop
	Seed     uint64

	Plain  bool // the world of the formula
	AtOnce bool // repair as soon as chat.RepairDepartures left
	Adapt  bool // the period follows measured lives and audits

	KillAt time.Duration // when half of all nodes die at once; 0: never
}

// Result is what became of the mail.
type Result struct {
	Boxes, Held int     // deposits, and those of them that were HELD
	Delivered   int     // there when the receiver returned
	Struck      int     // with no copy left in the moment of KillAt
	Risk        float64 // mean chance of that, exact for the copies there were; of Struck one draw

	Deaths, Repairs int
	Period          time.Duration // mean wait between repairs of one holder

	Early Traffic // in the first BytesHorizon
	Total Traffic
}

// BytesHorizon is how long traffic counts for mail.bytes.
const BytesHorizon = 8 * time.Hour

// Traffic is what moved for all boxes together.
type Traffic struct {
	Copies  int // whole messages, the deposit's included
	Digests int // lines that compare one box of two holders
}

func (c Config) filled() (Config, error) {
	if c.Nodes == 0 {
		c.Nodes = 200
	}
	if c.Boxes == 0 {
		c.Boxes = 10_000
	}
	if c.K == 0 {
		c.K = chat.RegionSize
	}
	if c.Horizon == 0 {
		c.Horizon = chat.RepairHorizon
	}
	if c.Period == 0 {
		c.Period = chat.RepairEvery
	}
	switch {
	case c.Nodes > MaxNodes || c.K >= c.Nodes || c.K < 1:
		return c, fmt.Errorf("%d holders of %d nodes: need fewer holders than nodes, and at most %d", c.K, c.Nodes, MaxNodes)
	case c.Life <= 0 || c.Period <= 0 || c.Horizon <= 0 || c.KillAt < 0:
		return c, errors.New("a time that is not positive")
	case c.Droppers < 0 || c.Droppers >= 1:
		return c, fmt.Errorf("a share of droppers of %g", c.Droppers)
	case c.Plain && (c.AtOnce || c.Adapt):
		return c, errors.New("the formula's world neither adapts nor repairs at once")
	}
	return c, nil
}
