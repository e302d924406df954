"""Value decomposition of a cooperative team: VDN and QMIX."""
