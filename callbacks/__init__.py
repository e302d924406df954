"""RLlibCallback classes: each turns an event of the run into a call, and decides nothing itself."""
