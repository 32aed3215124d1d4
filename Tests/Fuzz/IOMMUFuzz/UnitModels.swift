// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The units that the fuzz targets set up: everything offered, and each time something else left out.

import IOMMUTestSupport

enum UnitModels {
    static let all: [UnitModel] = [
        .full, .revision3, UnitModel(revision: 4, hostAddressWidth: 39),
        UnitModel(revision: 3, hostAddressWidth: 40), UnitModel.revision3.with(.maximumGuestAddressWidth, 47),
        UnitModel.full.with(.secondStageLargePages, 1), UnitModel.full.with(.secondStageLargePages, 0),
        without(.full, .deviceTLB, .pageRequests), without(.full, .nesting, .firstStage5Level),
        without(.full, .firstStage1GiB, .secondStageMarks), without(.full, .snoopedWalks, .snoopControl),
        without(.full, .requestPASID, .requestPrivilege), without(.revision3, .supervisorRequests, .extendedAccessed),
        without(.full, .passThrough, .abortMode), without(.full, .pasid, .firstStage),
        UnitModel.full.with(.cachingMode, 1).with(.domains, 2),
    ].filter { (try? $0.capabilities()) != nil }

    private static func without(_ model: UnitModel, _ fields: UnitModel.Field...) -> UnitModel {
        model.with { model in
            for field in fields { model[field] = 0 }
        }
    }
}
