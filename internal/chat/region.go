package chat

// Region is the nodes that keep what belongs to one key of the DHT.
type Region struct {
	Nodes []DeviceID // nearest first, without ourselves
	Self  bool       // we belong to it
	Small bool       // the network has under SmallNetwork nodes: all willing ones are the region
	Size  int        // estimate of the network's nodes
}
