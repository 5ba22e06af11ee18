/* upkeep.h - what has to be done now and then: write down metrics and when tokens were last used, forget old transfers. */
#ifndef DIONE_CONTROL_UPKEEP_H
#define DIONE_CONTROL_UPKEEP_H

#include "api/api.h"

struct upkeep;

/* Writes once a minute, on the job pool; the timer is loop's. `api` must outlive it. */
struct upkeep *upkeep_start(struct api *api, struct loop *loop);
/* No further round begins; one that runs is the job pool's to wait for. Before store_drain. NULL is fine. Blocking. */
void upkeep_stop(struct upkeep *u);
/* After the loop has ended: writes a last time and frees. NULL is fine. Blocking. */
void upkeep_finish(struct upkeep *u);

#endif
