"""The dataset form of the contract, and readers that bring public data sets into it. No torch, no models."""
